#!/usr/bin/env -S python3 -B
# check: no timeout=1800
"""server_restarts_long: a hundred reloads and a hundred upgrades under load, twenty of the new programs no good."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import restarts
from harness import main, test


@test
def reloads_under_load():
    restarts.reloads(100)


@test
def upgrades_under_load():
    restarts.upgrades(80, ["exit", "config", "worker", "hang"] * 5)


main()
