# Measurements, no tests: figures of this machine in this hour.
#
#   make bench [ROUNDS=5] [CELLS=all] [SVG=docs/throughput.svg] [SERVERS="null,Letterplate"]      tests/load/bench.py
#   make bench-peers       brings Postfix and smtp-server, which bench then compares with
#
# smtp-server comes from npm's registry, into build/peers.
bench: all load-programs
	@tests/load/bench.py

bench-peers:
	@tools/install-deps peers
	@mkdir -p build/peers
	npm install --silent --no-audit --no-fund --prefix build/peers smtp-server

.PHONY: bench bench-peers
