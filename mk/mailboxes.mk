# What the benchmark of look-ups links beyond the other load programs.
$(OBJ)/tests/load/lookups: LDLIBS += -llmdb -lidn2 -lunistring
