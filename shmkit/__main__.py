"""``python -m shmkit``."""

from shmkit._cli import main

if __name__ == "__main__":
    main()
