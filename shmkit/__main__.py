"""``python -m shmkit``."""

from shmkit.commands.cli import main

if __name__ == "__main__":
    main()
