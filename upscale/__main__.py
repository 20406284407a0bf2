"""`python -m upscale`."""

from upscale.commands import main

if __name__ == "__main__":
    main()
