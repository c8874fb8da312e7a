#!/usr/bin/env -S python3 -B
# check: timeout=180
"""server_restarts: five reloads and five upgrades under load, three of the new programs no good."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import restarts
from harness import main, test


@test
def reloads_under_load():
    restarts.reloads(5)


@test
def upgrades_under_load():
    restarts.upgrades(2, ["exit", "config", "worker"])


main()
