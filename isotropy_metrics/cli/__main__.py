"""`python -m isotropy_metrics.cli`."""

import sys

from isotropy_metrics.cli import main

sys.exit(main())
