# The stub that stands in for a worker in the tests of the master.
STUB := $(OBJ)/tests/master/stubworker
$(STUB): $(STUB).o $(OBJ)/libcommon.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lbsd $(LDLIBS)
unit-programs: $(STUB)
-include $(STUB).d
