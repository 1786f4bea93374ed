"""`python -m workers`: one worker from the environment."""

from workers.worker import main

if __name__ == "__main__":
    main()
