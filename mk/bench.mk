# Measurements, no tests: figures of this machine in this hour.
#
#   make bench                             a short choice, some 8 minutes: tests/load/bench.py
#   make bench CELLS=all                   everything, some 40 minutes and 60 GB of disk
#   make bench CELLS=tls,idle              some of: start mail tls idle mailboxes growth noop soak journal
#   ... ROUNDS=5 SERVERS="null,Letterplate" DISK=/mnt/other TABLE=build/bench/table.md SVG=build/bench/throughput.svg
#   make bench-peers                       brings Postfix, OpenSMTPD, Exim and smtp-server, which bench then compares with
#
# smtp-server comes from npm's registry, into build/peers; OpenSMTPD and Exim are unpacked there (mk/peers.mk).
# What stands on the command line is passed on by itself; "export" would give every test an empty ROUNDS.
bench: all load-programs
	@tests/load/bench.py

# Not sanitized: it is loaded before the sanitizer's own library, which must come first.
$(OBJ)/tests/load/parts/slowsync.so: tests/load/parts/slowsync.c
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) -std=gnu17 -O2 -g -fPIC -shared -D_GNU_SOURCE $(WARN) -o $@ $< -ldl
load-programs: $(OBJ)/tests/load/parts/slowsync.so

build/peers/node_modules/smtp-server:
	@mkdir -p build/peers
	npm install --silent --no-audit --no-fund --prefix build/peers smtp-server

bench-deps:
	@tools/install-deps peers
bench-peers: bench-deps build/peers/node_modules/smtp-server build/peers/exim/usr/sbin/exim4 build/peers/opensmtpd/usr/sbin/smtpd

.PHONY: bench bench-deps bench-peers
