"""A TrustGraph processor with one input, one output and one parameter: sends each text back with the parameter `mark` before it, and behind it
what the configuration has of type `prompt` under the key `suffix`.

echo.py --id echo --no-metrics --no-loki-enabled
"""

from trustgraph.base import ConsumerSpec, FlowProcessor, ParameterSpec, ProducerSpec
from trustgraph.schema import TextCompletionRequest


class Echo(FlowProcessor):
    def __init__(self, **params):
        super().__init__(**params)
        self.suffix = ""
        self.register_config_handler(self.on_prompts, types=["prompt"])
        self.register_specification(ConsumerSpec(name="input", schema=TextCompletionRequest, handler=self.on_message))
        self.register_specification(ProducerSpec(name="output", schema=TextCompletionRequest))
        self.register_specification(ParameterSpec(name="mark"))

    async def on_prompts(self, config, version):
        self.suffix = config.get("prompt", {}).get("suffix", "")

    async def on_message(self, message, consumer, flow):
        text = message.value()
        answer = TextCompletionRequest(system=text.system, prompt=f"{flow('mark')}{text.prompt}{self.suffix}")
        await flow("output").send(answer, properties=message.properties())


Echo.launch("echo", __doc__)
