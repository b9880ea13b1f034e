"""``python -m farkas`` runs the command line of :mod:`farkas.cli`."""

import sys

from farkas.cli import main

sys.exit(main())
