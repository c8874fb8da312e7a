# The sandbox probe: a program that tries what a compromised worker would try.
#   make probe            builds it; tests/sandbox/probe.sh runs it
SRC_probe := $(wildcard tests/sandbox/*.c)
SRC_sandbox := worker/sandbox.c worker/landlock.c worker/seccomp.c
$(OBJ)/tests/sandbox/probe: $(SRC_probe:%.c=$(OBJ)/%.o) $(SRC_sandbox:%.c=$(OBJ)/%.o) $(OBJ)/libcommon.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_letterplate-worker) $(LDLIBS)
-include $(SRC_probe:%.c=$(OBJ)/%.d)
probe: $(OBJ)/tests/sandbox/probe
unit-programs: probe
.PHONY: probe
