"""``python -m napari_semimoe.cli`` is the command ``semimoe``."""

import sys

from napari_semimoe.cli.entry import main

sys.exit(main())
