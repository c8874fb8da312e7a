"""tlsrecord: a TLS client that says what no library would: any record, protected as it must be.

The handshake is the ssl module's, which gives its secrets away (keylog); the
records behind it are made here (RFC 8446 5.2, RFC 5288), by libcrypto's AES.
"""
import ctypes
import ctypes.util
import functools
import hashlib
import hmac
import os
import ssl

import harness
import tls

ALERT, HANDSHAKE, DATA = 21, 22, 23
KEY_UPDATE = b"\x18\x00\x00\x01\x00"
USER_CANCELED = b"\x01\x5a"
AES = {16: "EVP_aes_128_gcm", 32: "EVP_aes_256_gcm"}


@functools.lru_cache
def crypto():
    name = ctypes.util.find_library("crypto")
    if name is None:
        raise harness.Skip("there is no libcrypto to load")
    c = ctypes.CDLL(name)
    for f in "EVP_CIPHER_CTX_new", *AES.values():
        getattr(c, f).restype = ctypes.c_void_p
    return c


class Aead:
    """AES-GCM of one key."""

    def __init__(self, key):
        self.c, n = crypto(), len(key)
        self.ctx = ctypes.c_void_p(self.c.EVP_CIPHER_CTX_new())
        self.c.EVP_EncryptInit_ex(self.ctx, ctypes.c_void_p(getattr(self.c, AES[n])()), None, key, None)

    def __del__(self):
        self.c.EVP_CIPHER_CTX_free(self.ctx)

    def seal(self, nonce, text, more):
        out, n, tag = ctypes.create_string_buffer(len(text) + 16), ctypes.c_int(), ctypes.create_string_buffer(16)
        self.c.EVP_EncryptInit_ex(self.ctx, None, None, None, nonce)
        self.c.EVP_EncryptUpdate(self.ctx, None, ctypes.byref(n), more, len(more))
        self.c.EVP_EncryptUpdate(self.ctx, out, ctypes.byref(n), text, len(text))
        self.c.EVP_EncryptFinal_ex(self.ctx, out, ctypes.byref(n))
        self.c.EVP_CIPHER_CTX_ctrl(self.ctx, 0x10, 16, tag)         # EVP_CTRL_GCM_GET_TAG
        return out.raw[:len(text)] + tag.raw


def expand(secret, label, n, md):
    """HKDF-Expand-Label without context (RFC 8446 7.1); one block is enough for all that is asked for."""
    label = b"tls13 " + label
    return hmac.new(secret, n.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0\x01", md).digest()[:n]


def prf(secret, seed, n, md):
    """RFC 5246 5."""
    out, a = b"", seed
    while len(out) < n:
        a = hmac.new(secret, a, md).digest()
        out += hmac.new(secret, a + seed, md).digest()
    return out[:n]


class RecordClient:
    """C's socket, on which a handshake in VERSION is made; then record() makes what send() takes."""

    def __init__(self, sock, version):
        self.sock, self.seq, self.version = sock, 0, version
        log = os.path.join(tls.folder(), "keylog.%d" % id(self))
        ctx = tls.context(None, version)
        ctx.keylog_filename = log
        ctx.set_ciphers("ECDHE+AESGCM")
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ctx.wrap_bio(self.into, self.out)
        heard = self.shake()
        with open(log) as f:
            words = [x.split() for x in f if not x.startswith("#")]
        self.secrets = {w[0]: (bytes.fromhex(w[1]), bytes.fromhex(w[2])) for w in words}
        cipher = self.tls.cipher()[0]
        self.md = hashlib.sha384 if "SHA384" in cipher else hashlib.sha256
        self.length = 32 if "256" in cipher.split("GCM")[0] else 16
        if version == ssl.TLSVersion.TLSv1_3:
            self.rekey(self.secrets["CLIENT_TRAFFIC_SECRET_0"][1])
        else:
            self.key_of_1_2(heard[11:43])

    def shake(self):
        heard = b""
        while True:
            try:
                self.tls.do_handshake()
                self.sock.sendall(self.out.read())
                return heard
            except ssl.SSLWantReadError:
                self.sock.sendall(self.out.read())
                got = self.sock.recv(65536)
                heard += got
                self.into.write(got)

    def rekey(self, secret):
        self.secret, self.seq = secret, 0
        self.aead, self.iv = Aead(expand(secret, b"key", self.length, self.md)), expand(secret, b"iv", 12, self.md)

    def key_of_1_2(self, server_random):
        client_random, master = self.secrets["CLIENT_RANDOM"]
        block = prf(master, b"key expansion" + server_random + client_random, 2 * self.length + 8, self.md)
        self.aead, self.iv = Aead(block[:self.length]), block[2 * self.length:2 * self.length + 4]
        self.seq = 1            # Finished was the first

    def record(self, kind, text):
        seq = self.seq.to_bytes(8, "big")
        self.seq += 1
        if self.version != ssl.TLSVersion.TLSv1_3:
            head = bytes([kind, 3, 3])
            sealed = self.aead.seal(self.iv + seq, text, seq + head + len(text).to_bytes(2, "big"))
            return head + (8 + len(sealed)).to_bytes(2, "big") + seq + sealed
        text += bytes([kind])
        head = bytes([DATA, 3, 3]) + (len(text) + 16).to_bytes(2, "big")
        nonce = bytes(a ^ b for a, b in zip(self.iv, bytes(4) + seq))
        return head + self.aead.seal(nonce, text, head)

    def next_key(self):
        self.rekey(expand(self.secret, b"traffic upd", self.md().digest_size, self.md))

    def key_update(self):
        r = self.record(HANDSHAKE, KEY_UPDATE)
        self.next_key()
        return r

    def send(self, octets):
        self.sock.sendall(octets)

    def hear(self, n=65536):
        """What the server says inside TLS; b"" when it has closed."""
        while True:
            try:
                return self.tls.read(n)
            except ssl.SSLWantReadError:
                try:
                    got = self.sock.recv(65536)
                except ConnectionResetError:
                    return b""
                if not got:
                    return b""
                self.into.write(got)
            except ssl.SSLError:
                return b""
