# The tests.  tests/run finds, runs and counts them; see its head.
#
#   make check                     all, with a last line "N passed, N failed"
#   make check-unit check-dialog check-tools check-master check-sandbox check-e2e check-fault check-docs
#   make check-threads             whatever has threads, built with ThreadSanitizer
#   make check-mutants             each patch of tests/mutants must make the test that it names fail
#   make check CC=clang            make check SANITIZE=address,undefined
#   make check-coverage check-valgrind check-cfi    see mk/inspect.mk

SRC_load := $(wildcard tests/load/*.c)
LOAD := $(SRC_load:%.c=$(OBJ)/%)
$(OBJ)/tests/load/%: $(OBJ)/tests/load/%.o $(OBJ)/libcommon.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lbsd -lm $(LDLIBS)
load-programs: $(LOAD)
$(OBJ)/tests/load/load: $(OBJ)/tests/load/parts/tally.o
$(OBJ)/tests/load/null: $(OBJ)/tests/load/parts/tls.o
-include $(SRC_load:%.c=$(OBJ)/%.d) $(OBJ)/tests/load/parts/tally.d $(OBJ)/tests/load/parts/tls.d

# Packages first: without them nothing compiles.  Not as root, what is missing is said, and the tests that need it are skipped.
check-deps:
	@tools/install-deps build
	@tools/install-deps check || [ "$$(id -u)" != 0 ]

CHECK_JOBS = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))
check-build: check-deps
	@$(MAKE) --no-print-directory $(CHECK_JOBS) all unit-programs load-programs probe

check: check-build
	@tests/run

CHECK_PARTS := house unit dialog tools conf stats master sandbox e2e fault docs
$(CHECK_PARTS:%=check-%): check-%: check-build
	@tests/run tests/$*

# The pool and what runs in it, the journal's background, the log's thread, those of modules and of letterplate-auth.
CHECK_THREADS := $(addprefix tests/unit/,chain group iopool journal log maildir recover room session unique) \
    tests/fault/store_failnth $(addprefix tests/e2e/,auth dsn logsinks modules quota)
check-threads: check-deps
	@$(MAKE) --no-print-directory $(CHECK_JOBS) SANITIZE=thread threads-build
	@$(STILL) tests/run $(CHECK_THREADS)
# gcc 12's runtime takes no mapping of a kernel that scatters them over more than 28 bits (vm.mmap_rnd_bits).
STILL = $(shell setarch -R true 2>/dev/null && echo setarch -R)
threads-build: all fault-programs $(patsubst %,$(OBJ)/%,$(filter tests/unit/%,$(CHECK_THREADS)))

check-mutants: check-deps
	@tests/mutants/run

.PHONY: check check-build check-deps check-mutants check-threads threads-build load-programs $(CHECK_PARTS:%=check-%)
# A milter that has no objection, of threads.
$(OBJ)/tests/load/milter: LDLIBS += -pthread
