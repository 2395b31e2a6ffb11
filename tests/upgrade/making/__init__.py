"""How a shop is made, stopped and written down: see __main__.py.

It stays a part of the tests, rather than a text beside what it made: a later version can then be written down with the
same scenes. So it knows of the server what is hard to move: addresses, commands, `advance`, `reconcile`, the models,
and the calls to the node at which a process dies. It calls no operation: it cuts calls short and tells the node.
"""
