import { z } from 'zod';
import { deliveryStates } from './queries/webhook-deliveries.ts';
import { NotFoundError } from '../../domain/errors.ts';
import { maxUrlLength } from './target.ts';
import { pageNumber, pageSize } from '../../platform/http/fields.ts';

const url = z
  .string()
  .min(1, 'must not be empty')
  .max(maxUrlLength, `must have at most ${maxUrlLength} characters`);

/** Where the end of a job is to be told; the rules of its text are those of the deployment, and checked when it is submitted. */
export const callbackUrl = url
  .optional()
  .meta({ description: 'URL that receives a signed webhook when the job ends', format: 'uri' });

/** Body of `POST /webhooks/test`. */
export const testBody = z.strictObject({
  url: url.meta({ description: 'URL that receives the test webhook', format: 'uri' }),
});

/** Query of `GET /webhooks/deliveries`. */
export const deliveriesQuery = z.strictObject({
  page: pageNumber,
  limit: pageSize({ usual: 20, max: 100 }),
  state: z.enum(deliveryStates).optional().meta({ description: 'Only deliveries in this state' }),
});

/** Path of one delivery. */
export const deliveryPath = z.object({ id: z.string().meta({ description: 'Id of the delivery (UUID)' }) });

const uuid = z.uuid();

/**
 * The id in a delivery's path.
 * @throws {NotFoundError} it is no UUID, so there is no such delivery.
 */
export function deliveryIdOf({ id }: z.output<typeof deliveryPath>): string {
  if (!uuid.safeParse(id).success) throw new NotFoundError('Delivery not found', 'delivery_not_found');
  return id.toLowerCase();
}
