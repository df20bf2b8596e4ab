"""What the Space does behind its page: files and texts in, tables, figures and sentences out."""
