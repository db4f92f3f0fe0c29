import { z } from 'zod';
import { auditTypes } from './queries/audit.ts';
import type { Principal } from '../../domain/principal.ts';
import { NotFoundError } from '../../domain/errors.ts';
import { email, givenPassword, newPassword, username } from './account-schemas.ts';
import { wholeNumber } from '../../platform/http/fields.ts';

const page = wholeNumber({ min: 1, max: 1_000_000 }).default(1);
const limit = wholeNumber({ min: 1, max: 100 }).default(20);
const role = z.enum(['user', 'admin']);

/** Query of `GET /users`. */
export const usersQuery = z.strictObject({ page, limit });

/** Query of `GET /admin/audit`. */
export const auditQuery = z.strictObject({
  page,
  limit,
  type: z.enum(auditTypes).optional().meta({ description: 'Only events of this kind' }),
  user: z
    .uuid('is not the id of a user')
    .toLowerCase()
    .optional()
    .meta({ description: 'Only events about this user' }),
});

/** Path of `/users/:id`. */
export const userPath = z.object({
  id: z.string().meta({ description: 'Id of a user, or me for yourself' }),
});

const uuid = z.uuid();

/**
 * The id in a user's path; `me` is whoever asks.
 * @throws {NotFoundError} it is no UUID, so there is no such user.
 */
export function userIdOf({ id }: z.output<typeof userPath>, viewer: Principal): string {
  if (id === 'me') return viewer.userId;
  if (!uuid.safeParse(id).success)
    throw new NotFoundError('There is no such user, or it is not you', 'user_not_found');
  return id.toLowerCase();
}

/** Body of `POST /users`. */
export const newUserBody = z.strictObject({
  username,
  email,
  password: newPassword,
  role: role.default('user'),
});

/** Body of `DELETE /users/:id`. */
export const removalBody = z.strictObject({
  current_password: givenPassword
    .optional()
    .meta({ description: 'Your password; needed to delete your own account' }),
});

/** Body of `PUT /users/:id`: a closed list, and at least one change. */
export const userChangesBody = z
  .strictObject({
    username: username.optional(),
    email: email.optional(),
    role: role.optional(),
    current_password: givenPassword
      .optional()
      .meta({ description: 'Your password; needed to change your own e-mail' }),
  })
  .refine(
    (body) => body.username !== undefined || body.email !== undefined || body.role !== undefined,
    'must change at least one of username, email and role',
  );
