"""Who acts, where it is not a person whom we know by name. The journal has it in `actor`."""

from typing import Final

#: Nobody asked: the server itself.
LSP: Final = "lsp"
BUYER: Final = "buyer"
