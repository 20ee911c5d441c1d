"""The rendezvous over MQTT 5: topics, messages, the client."""
