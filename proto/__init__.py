"""The wire of the gRPC arms: one .proto file a service, and the code generated from them.

`python -m proto.generate` makes the code again; `--check` says whether it is up to date.
"""
