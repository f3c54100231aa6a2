// The descriptor of the processors under test.
export const DESCRIPTOR = {
  schema: 1,
  name: 'under-test',
  version: '1.2.3',
  consumers: ['input', 'control', { name: 'ask', reply: 'answer' }],
  producers: ['output', 'rest', 'answer', { name: 'extra', optional: true }],
  requests: [{ name: 'model', request: 'model-request', response: 'model-response' }],
  parameters: [
    { name: 'prefix', default: '' },
    { name: 'least-score', type: 'number', default: '0.5' },
    { name: 'size', type: 'integer', default: '3' },
    { name: 'strict', type: 'boolean', default: 'false' },
    { name: 'rules', type: 'json', default: '[]' },
    { name: 'label' },
  ],
  'config-types': ['rule', 'price'],
};
