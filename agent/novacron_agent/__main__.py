"""python -m novacron_agent"""

import sys

from novacron_agent.cli import main

sys.exit(main())
