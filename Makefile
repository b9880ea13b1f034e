# Every target forwards to tasks.py, which says what each does: python3 tasks.py help
.PHONY: demo test conformance lint docs bench ci
demo test conformance lint docs ci:
	python3 tasks.py $@ $(ARGS)
bench:
	python3 tasks.py bench $(NAME) $(ARGS)
