# `make run`: a server to look at, on 127.0.0.1:2525, with all that it needs in build/run.  RUN_PORT=N for another port.
RUN_PORT ?= 2525

run:
	@tools/install-deps build check || { [ "$$(id -u)" != 0 ] && ! tools/install-deps -n build | grep -q .; }
	@$(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$$(nproc)) all
	@tools/run build/run $(RUN_PORT)

.PHONY: run
