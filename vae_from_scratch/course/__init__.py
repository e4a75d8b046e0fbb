"""The course: exercises cut from this package, a checker, and a zoo of real bugs.  derivations/22-course.md."""
