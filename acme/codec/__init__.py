"""Codecs between messages, JSON and the protobuf wire, and the rules: compiled for each message from its contract."""
