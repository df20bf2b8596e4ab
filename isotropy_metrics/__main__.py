"""`python -m isotropy_metrics`."""

import sys

from isotropy_metrics.cli import main

sys.exit(main())
