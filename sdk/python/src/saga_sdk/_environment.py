"""The environment variables with which Python starts while a component is made.

componentize-py has no option for them. It links libraries of WebAssembly that lie beside the rules, as those of native
packages do, and their constructors run before Python starts: this one calls `setenv`. Python is started once, and its memory
is the component, so what was set then is so for good.
"""

from __future__ import annotations

#: componentize-py takes what is called so for a library.
LIBRARY = "saga_environment.abi3.so"

VARIABLES = {
    # Otherwise each build hashes texts in a way of its own, and so has an order of sets of its own.
    "PYTHONHASHSEED": "0",
    # Compiled code would be written into a folder that is thrown away; a component is half a megabyte smaller without.
    "PYTHONDONTWRITEBYTECODE": "1",
}

_I32, _GLOBAL_GET, _I32_CONST, _I32_ADD, _CALL, _DROP, _END = 0x7F, 0x23, 0x41, 0x6A, 0x10, 0x1A, 0x0B


def library(variables: dict[str, str]) -> bytes:
    """A library of the convention of dynamic linking of WebAssembly, whose constructor sets these variables."""
    texts, calls = b"", b""
    for variable in variables.items():
        for text in variable:
            calls += bytes([_GLOBAL_GET, 0, _I32_CONST]) + _signed(len(texts)) + bytes([_I32_ADD])
            texts += text.encode() + b"\0"
        # setenv(name, value, 1): a value that is there is replaced.
        calls += bytes([_I32_CONST, 1, _CALL, 0, _DROP])
    constructor = _number(0) + calls + bytes([_END])
    memory = _number(len(texts)) + _number(0) + _number(0) + _number(0)
    nothing, setenv = bytes([0x60, 0, 0]), bytes([0x60, 3, _I32, _I32, _I32, 1, _I32])
    imports = [
        _name("env") + _name("memory") + bytes([2, 0, 1]),
        _name("env") + _name("__memory_base") + bytes([3, _I32, 0]),
        _name("env") + _name("setenv") + bytes([0, 1]),
    ]
    return b"\0asm\1\0\0\0" + b"".join(
        [
            _section(0, _name("dylink.0") + b"\1" + _number(len(memory)) + memory),
            _section(1, _vector([nothing, setenv])),
            _section(2, _vector(imports)),
            _section(3, _vector([b"\0"])),
            _section(7, _vector([_name("__wasm_call_ctors") + bytes([0, 1])])),
            _section(10, _vector([_number(len(constructor)) + constructor])),
            _section(11, _vector([bytes([0, _GLOBAL_GET, 0, _END]) + _number(len(texts)) + texts])),
        ]
    )


def _section(id: int, content: bytes) -> bytes:
    return bytes([id]) + _number(len(content)) + content


def _vector(items: list[bytes]) -> bytes:
    return _number(len(items)) + b"".join(items)


def _name(text: str) -> bytes:
    return _number(len(text.encode())) + text.encode()


def _number(value: int) -> bytes:
    """A number of LEB128, without a sign."""
    written = b""
    while value > 0x7F:
        written += bytes([value & 0x7F | 0x80])
        value >>= 7
    return written + bytes([value])


def _signed(value: int) -> bytes:
    """A number from zero, of signed LEB128: bit 6 of the last byte is the sign."""
    written = b""
    while value > 0x3F:
        written += bytes([value & 0x7F | 0x80])
        value >>= 7
    return written + bytes([value])
