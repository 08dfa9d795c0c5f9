"""What the kubelet speaks, generated from the .proto files beside it by `make stubs`: never edit a _pb2 file."""
