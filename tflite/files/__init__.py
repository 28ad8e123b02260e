"""The .tflite file itself: flatbuffer, records, signature, metadata, safe writing."""
