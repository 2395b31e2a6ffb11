"""Links to explorers of the chain and of nodes: for a person to follow. Nothing of ours ever fetches them."""

from __future__ import annotations

from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString


def transaction(txid: str) -> SafeString:
    """A link to the transaction's page; empty where no explorer is set."""
    return _link(settings.BLOCK_EXPLORER_URL, "{txid}", txid, "transaction")


def node(pubkey: str) -> SafeString:
    """A link to the node's page; empty where no explorer is set."""
    return _link(settings.NODE_EXPLORER_URL, "{pubkey}", pubkey, "node")


def _link(pattern: str, placeholder: str, name: str, what: str) -> SafeString:
    """Where it leads learns neither which page of ours it was on nor gets a handle on it."""
    if not pattern or not name:
        return SafeString("")
    return format_html(
        ' <a class="lsp-out" href="{}" target="_blank" rel="noreferrer noopener" title="{}">'
        '<span aria-hidden="true">↗</span><span class="lsp-unseen">This {} at an explorer</span></a>',
        pattern.replace(placeholder, name),
        f"This {what} at an explorer, outside of the server",
        what,
    )
