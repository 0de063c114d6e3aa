"""What a law is, what it computes with, what it claims, and how claims are judged."""
