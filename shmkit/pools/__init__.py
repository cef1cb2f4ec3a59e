"""How shared arrays go to pools of processes: as references, kept alive on their way."""
