"""What a Python user calls: the functions behind `import upscale`."""
