"""The books of the shop: where each satoshi is, and whose. Posted in the transaction of the move that it belongs to."""

from orders.books.following import deposits, following, refund_begun, returned_by_hand, transaction_moved

__all__ = ["deposits", "following", "refund_begun", "returned_by_hand", "transaction_moved"]
