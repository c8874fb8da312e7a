# Real software that nobody here wrote, against a live server: programs of tests/peers, each of which says what it skips.
#
#   make check-peers      `tools/install-deps peers` brings the software
check-peers: check-build
	@tests/run -a tests/peers

.PHONY: check-peers
