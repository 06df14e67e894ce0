"""What a person at Acme is told when something did not work."""


class Trouble(Exception):
    """A sentence that says what to do, and a code to quote; never anything secret."""

    def __init__(self, sentence: str, code: str, *, status: int = 502) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code
        self.status = status
