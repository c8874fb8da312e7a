# A client that shakes hands and does nothing else.
$(OBJ)/tests/load/handshakes: LDLIBS += -lssl -lcrypto -pthread
$(OBJ)/tests/load/null: LDLIBS += -lssl -lcrypto
