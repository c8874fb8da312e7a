# Programs of the fault tests: the store without a server, a library that lets its system calls fail, and one that sets a server's clock.
FAULT := $(OBJ)/tests/fault/storedrive $(OBJ)/tests/fault/failnth.so $(OBJ)/tests/fault/clockshift.so
$(OBJ)/tests/fault/storedrive: $(OBJ)/tests/fault/storedrive.o $(OBJ)/libworker.a $(OBJ)/libcommon.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_letterplate-worker) $(LDLIBS)

# Not sanitized: they are loaded before the sanitizer's own library, which must come first; see tests/lib/store.py.
$(OBJ)/tests/fault/%.so: tests/fault/%.c
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) -std=gnu17 -O2 -g -fPIC -shared -D_GNU_SOURCE $(WARN) -o $@ $< -ldl

fault-programs: $(FAULT)
unit-programs: fault-programs
-include $(OBJ)/tests/fault/storedrive.d
.PHONY: fault-programs
