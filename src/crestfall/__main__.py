"""`python -m crestfall`: the command line for launchers that start modules (`accelerate launch -m crestfall run`)."""

import sys

from crestfall.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
