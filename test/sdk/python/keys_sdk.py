"""The openai package, unmodified, with virtual keys. NESTOR_URL ends in /v1; NESTOR_KEY is the master key.

What the provider does is chosen by `user`, see the mock's plans. A token costs 0.001 USD in and 0.002 out.
"""

import os
import time
import unittest

import httpx
import openai

URL = os.environ["NESTOR_URL"]
MASTER = os.environ["NESTOR_KEY"]
HELLO = [{"role": "user", "content": "hello"}]
PROMPT, ANSWER = 9, 8  # tokens
COST = PROMPT * 0.001 + ANSWER * 0.002
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


def manage(path, **body):
    """Calls a management route with the master key, by GET without a body."""
    headers = {"Authorization": f"Bearer {MASTER}"}
    root = URL.removesuffix("/v1")
    if body:
        answer = httpx.post(root + path, json=body, headers=headers, timeout=30)
    else:
        answer = httpx.get(root + path, headers=headers, timeout=30)
    answer.raise_for_status()
    return answer.json()


def new_key(**fields):
    return manage("/key/generate", **({"models": ["fast", "vectors"]} | fields))["key"]


def client(key, **options):
    return openai.OpenAI(**({"base_url": URL, "api_key": key, "max_retries": 0, "timeout": 30} | options))


def chat(key, **request):
    return client(key).chat.completions.with_raw_response.create(**({"model": "fast", "messages": HELLO} | request))


def rows(key, n):
    """Waits for n rows of the spend log, the latest first."""
    for _ in range(100):
        found = manage(f"/spend/logs?api_key={key}")
        if len(found) >= n:
            break
        time.sleep(0.1)
    return found


class Refusals(unittest.TestCase):
    def refused(self, kind, key, **request):
        with self.assertRaises(openai.APIStatusError) as caught:
            chat(key, **request)
        self.assertIs(type(caught.exception), kind)
        self.assertTrue(caught.exception.body["message"])
        self.assertNotIn(key, str(caught.exception))
        return caught.exception

    def test_a_model_that_is_not_given(self):
        key = new_key()
        for model in ("slow", "fast/a", "nobody"):
            error = self.refused(openai.PermissionDeniedError, key, model=model)
            self.assertEqual(error.type, "key_model_access_denied")
            self.assertEqual(error.param, "model")
        error = self.refused(openai.PermissionDeniedError, key, model="slow", stream=True)
        self.assertEqual(error.status_code, 403)
        with self.assertRaises(openai.PermissionDeniedError):
            client(key).embeddings.create(model="slow", input="a")

    def test_keys_that_are_bad_blocked_deleted_or_expired(self):
        self.assertEqual(self.refused(openai.AuthenticationError, "sk-nobody-has-this-key").type, "token_not_found_in_db")
        blocked, deleted, expiring = new_key(), new_key(), new_key(duration="1s")
        manage("/key/block", key=blocked)
        self.assertEqual(self.refused(openai.AuthenticationError, blocked).type, "auth_error")
        manage("/key/unblock", key=blocked)
        self.assertEqual(chat(blocked).status_code, 200)
        manage("/key/delete", keys=[deleted])
        self.refused(openai.AuthenticationError, deleted)
        time.sleep(1.1)
        self.assertEqual(self.refused(openai.AuthenticationError, expiring).type, "expired_key")

    def test_a_limit_of_requests(self):
        key = new_key(rpm_limit=2)
        for left in ("1", "0"):
            headers = chat(key).headers
            self.assertEqual(headers["x-ratelimit-limit-requests"], "2")
            self.assertEqual(headers["x-ratelimit-remaining-requests"], left)
        error = self.refused(openai.RateLimitError, key)
        self.assertEqual(error.type, "requests")
        self.assertIn(int(error.response.headers["retry-after"]), range(50, 61))

    def test_a_budget(self):
        key = new_key(max_budget=COST * 1.5, budget_duration="1h")
        chat(key)
        rows(key, 1)
        error = self.refused(openai.RateLimitError, key, max_tokens=100)
        self.assertEqual(error.type, "budget_exceeded")
        self.assertIn(int(error.response.headers["retry-after"]), range(1, 3601))
        endless = new_key(max_budget=0.00001)
        error = self.refused(openai.RateLimitError, endless)
        self.assertNotIn("retry-after", error.response.headers)

    def test_the_client_waits_for_a_limit_as_it_is_told(self):
        key = new_key(max_parallel_requests=1)
        stream = client(key).chat.completions.create(model="fast", messages=HELLO, stream=True, user="mock:events=12;gap=100ms")
        next(iter(stream))
        self.refused(openai.RateLimitError, key)
        got = client(key, max_retries=5).chat.completions.with_raw_response.create(model="fast", messages=HELLO)
        self.assertGreater(got.retries_taken, 0)
        stream.close()


class Lists(unittest.TestCase):
    def test_models_are_those_that_may_be_called(self):
        c = client(new_key(models=["fast"]))
        self.assertEqual([m.id for m in c.models.list()], ["fast", "quick"])
        self.assertEqual(c.models.retrieve("quick").id, "quick")
        with self.assertRaises(openai.APIStatusError):
            c.models.retrieve("slow")
        everything = [m.id for m in client(new_key(models=[])).models.list()]
        self.assertEqual(everything, [m.id for m in client(MASTER).models.list()])
        self.assertIn("slow", everything)


class Costs(unittest.TestCase):
    def test_headers_tell_the_cost_and_what_was_spent_before(self):
        key = new_key()
        first = chat(key)
        self.assertAlmostEqual(float(first.headers["x-litellm-response-cost"]), COST, places=12)
        self.assertEqual(float(first.headers["x-litellm-key-spend"]), 0)
        rows(key, 1)
        self.assertAlmostEqual(float(chat(key).headers["x-litellm-key-spend"]), COST, places=9)

    def test_everything_that_is_answered_costs_what_it_used(self):
        key = new_key()
        chat(key)
        with client(key).chat.completions.create(model="fast", messages=HELLO, user="mock:events=20", **STREAMED) as stream:
            usage = list(stream)[-1].usage
        list(client(key).chat.completions.create(model="fast", messages=HELLO, stream=True, user="mock:events=30"))
        client(key).completions.create(model="fast", prompt="hello")
        vectors = client(key).embeddings.create(model="vectors", input=["hello", "world"])
        with self.assertRaises(openai.InternalServerError):
            chat(key, user="mock:status=500", extra_body={"num_retries": 0})
        found = {(r["call_type"], r["completion_tokens"], r["status"]): r for r in rows(key, 6)}
        self.assertEqual(len(found), 6)
        for (call, completion, status), cost in {
            ("acompletion", ANSWER, "success"): COST,
            ("acompletion", 20, "success"): PROMPT * 0.001 + 20 * 0.002,
            ("acompletion", 30, "success"): PROMPT * 0.001 + 30 * 0.002,
            ("atext_completion", ANSWER, "success"): 2 * 0.001 + ANSWER * 0.002,
            ("aembedding", 0, "success"): vectors.usage.prompt_tokens * 0.001,
            ("acompletion", 0, "failure"): 0,
        }.items():
            with self.subTest(call=call, completion=completion, status=status):
                self.assertAlmostEqual(found[call, completion, status]["spend"], cost, places=9)
        self.assertEqual(usage.completion_tokens, 20)
        spent = manage(f"/key/info?key={key}")["info"]["spend"]
        self.assertAlmostEqual(spent, sum(r["spend"] for r in found.values()), places=9)

    def test_a_key_sees_its_own_spend(self):
        key, other = new_key(), new_key()
        chat(key)
        chat(other)
        rows(key, 1)
        rows(other, 1)
        own = httpx.get(URL.removesuffix("/v1") + "/spend/logs", headers={"Authorization": f"Bearer {key}"}).json()
        self.assertEqual([round(r["spend"], 9) for r in own], [round(COST, 9)])
        refused = httpx.get(URL.removesuffix("/v1") + f"/spend/logs?api_key={other}", headers={"Authorization": f"Bearer {key}"})
        self.assertEqual(refused.status_code, 403)


if __name__ == "__main__":
    unittest.main()
