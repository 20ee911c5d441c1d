"""What the kiosk's end of a call costs, beside GStreamer's and libwebrtc's."""
