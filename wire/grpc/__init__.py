"""gRPC: messages as protobuf, errors as statuses, how servers and channels are set up."""
