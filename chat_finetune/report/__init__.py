"""What a run tells a person: its verdict, its pictures, its page, its record."""
