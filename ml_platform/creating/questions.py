"""What may be asked of a person; where there is none, or they say nothing, the guess stands."""

from collections.abc import Callable, Sequence

#: Question and the guess to the answer. Called at most :data:`MOST` times.
Ask = Callable[[str, str], str]
MOST = 3


class Questions:
    """At most :data:`MOST` questions; each guess that stood is noted."""

    def __init__(self, ask: Ask | None) -> None:
        """``ask`` is None where nobody is there to answer."""
        self._ask, self._left = ask, MOST

    def choose(self, question: str, guess: str, known: Sequence[str]) -> str:
        """One of the known answers, or the guess."""
        if self._ask is None or not self._left:
            return guess
        self._left -= 1
        answer = self._ask(question, guess).strip()
        return answer if answer in known else guess

    def confirm(self, question: str, guess: bool) -> bool:
        """Yes or no."""
        given = self.choose(f"{question} (y/n)", "y" if guess else "n", ("y", "yes", "n", "no"))
        return given.startswith("y")
