"""Messages and stubs generated from the .proto files by `make proto`."""
