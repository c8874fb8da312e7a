# Builds of their own that look into what runs, all by hand: they take long, or want a tool.
#
#   make check-coverage   the unit suites and dialogues reach 98 % of the engine's lines and 95 % of its branches, by gcov
#                         (tests/house/engine.py, which tells the figures; with an argument, worker/smtp/, what was missed)
#   make check-valgrind   the unit suites and dialogues under memcheck: no error, nothing lost (tests/house/memcheck.py); half an hour
#   make check-cfi        with clang's control flow integrity: the same, and servers of all that is called by pointers
#
# `tools/install-deps inspect` brings the tools; gcov comes with gcc.
inspect-deps: check-deps
	@tools/install-deps inspect

check-coverage: check-deps
	@$(MAKE) --no-print-directory $(CHECK_JOBS) CC=gcc COVERAGE=yes unit-programs
	@find build/obj/gcc-coverage -name '*.gcda' -delete
	@tests/run tests/unit
	@tests/run -v tests/house/engine

check-valgrind: inspect-deps
	@$(MAKE) --no-print-directory $(CHECK_JOBS) CC=gcc VALGRIND=yes unit-programs
	@tests/run -v tests/house/memcheck

# Signatures, handlers, milters and modules are what is called by pointers that others give.
CHECK_CFI := tests/house/harden tests/unit tests/dialog tests/sandbox $(addprefix tests/e2e/,auth check checks dns dsn life milter milter_edits modules policy proxy tls)
check-cfi: inspect-deps
	@$(MAKE) --no-print-directory $(CHECK_JOBS) CFI=yes all unit-programs probe
	@tests/run $(CHECK_CFI)

.PHONY: inspect-deps check-coverage check-valgrind check-cfi
