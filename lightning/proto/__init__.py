"""Our own minimal copy of LND's interface (`*.proto`) and what is generated from it.

After a change of a `.proto` file: `python -m lightning.proto.generate`.
"""
