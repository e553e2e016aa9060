"""``python -m napari_semimoe.cli`` is the command ``semimoe``."""

import sys

from napari_semimoe.cli.main import main

sys.exit(main())
