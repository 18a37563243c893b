"""The suite is for the guest: outside only the test that boots it is collected."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("PLAIT_UML") else ["suite"]
