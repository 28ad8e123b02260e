"""What a microcontroller's firmware needs beside a .tflite file."""
